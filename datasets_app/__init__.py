"""Datasets: bring data in, keep it as immutable versions, look inside, hand it to jobs."""
