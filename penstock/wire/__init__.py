"""How bytes become operations and replies become bytes: a module or package for each dialect, pure, without I/O."""
