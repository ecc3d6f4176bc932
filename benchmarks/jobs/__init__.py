"""What runs as a process of its own while a part measures it."""
