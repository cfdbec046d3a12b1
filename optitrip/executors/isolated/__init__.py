"""Python losses in processes of their own on this machine, which a stop or a time limit can end."""
