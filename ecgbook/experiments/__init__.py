"""The experiments of the chapters: each takes a run and its data and returns a result."""
