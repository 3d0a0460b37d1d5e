"""A page in the browser, served by this machine to itself: serve -> page -> handlers -> drawing. Needs `emojax[web]`."""
