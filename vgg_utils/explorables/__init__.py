"""Live figures: pages of plain HTML and script, one a stem, filled in by `vgg_utils.plots`."""
