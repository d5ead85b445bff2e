"""Sensor health: faults of sensors and devices, told from anomalies, each in its own file. Columnar and pure."""
