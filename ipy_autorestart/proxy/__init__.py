"""The process that a server knows as its kernel: clients stay connected while kernels behind it follow each other."""
