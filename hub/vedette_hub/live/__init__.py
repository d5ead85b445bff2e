"""What people see without asking again: sockets at /ws, alerts as they change, readings of devices they look at."""
