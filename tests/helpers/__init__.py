"""What several tests use: references, random programs, and makers of files."""
