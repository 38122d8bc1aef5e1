"""Other formats that people have files in: read into the same suites, refused by name where they can do more."""
