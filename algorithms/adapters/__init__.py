"""To other libraries and back, a module each; a library is needed only by its own module."""
