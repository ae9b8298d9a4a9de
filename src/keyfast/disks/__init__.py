"""The state of this machine's disks, read and never changed. What could not be read is unknown."""
