"""A browser page that is served only to this machine: serve -> page -> handlers -> drawing. Needs `emojax[web]`."""
