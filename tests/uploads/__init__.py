"""Uploads: plan, bundles and tus."""
