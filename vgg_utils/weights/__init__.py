"""The book's own networks, which `vgg_utils.trained.load_trained` reads."""
