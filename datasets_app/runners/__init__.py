"""What executes a job: one file each, and a registry. Plain Python, without Django."""
