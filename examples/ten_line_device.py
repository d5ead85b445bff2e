"""A device in ten lines: a reading a second to the broker on this machine."""

import json
import time
from random import gauss

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

device = mqtt.Client(CallbackAPIVersion.VERSION2)
device.connect("localhost")
device.loop_start()
while True:
    reading = {"ts": time.time(), "vibration": gauss(1.5, 0.1), "temperature": gauss(45.0, 0.5)}
    device.publish("plant/pump-7/telemetry", json.dumps(reading), qos=1)
    time.sleep(1.0)
