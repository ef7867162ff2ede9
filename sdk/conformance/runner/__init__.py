"""What `run.py` is made of: scenarios, plays, drivers, a gateway, a proxy."""
