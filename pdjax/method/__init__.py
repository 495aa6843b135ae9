"""The method of the paper as pure functions: no files, no published networks, no pictures."""
