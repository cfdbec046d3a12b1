"""A program as a loss: its parameters go into arguments and files, its loss comes from what it prints or writes."""
