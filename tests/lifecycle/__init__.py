"""A dataset's whole life: new versions, labels, archive, trash, space."""
