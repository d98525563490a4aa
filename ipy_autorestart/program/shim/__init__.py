"""First on the path of a program's next image; a package because another shim has a module of the same name."""
