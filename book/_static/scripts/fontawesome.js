// Empty on purpose. A file in html_static_path takes the place of the theme's own of the same name,
// and icons.css draws the icons.
