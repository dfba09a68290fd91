"""The two users Locust offers, each asking for one page again and again."""

import os

from locust import FastHttpUser, HttpUser, constant, constant_throughput, task

PATH = os.environ.get("LOAD_PATH", "/")
RATE = os.environ.get("LOAD_RATE")
WAIT = constant_throughput(float(RATE)) if RATE else constant(0)


class Fast(FastHttpUser):
    wait_time = WAIT

    @task
    def page(self):
        self.client.get(PATH, name="page")


class Http(HttpUser):
    wait_time = WAIT

    @task
    def page(self):
        self.client.get(PATH, name="page")
