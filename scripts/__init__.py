"""Tools of this tree, run by the Makefile; nothing of it is part of the product."""
