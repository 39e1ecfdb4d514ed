"""What executes jobs: plain Python, no Django. Settings come as constructor arguments."""
