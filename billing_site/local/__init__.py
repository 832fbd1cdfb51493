"""What `make run` and manage.py need on one machine: private engines, processes, clear words."""
