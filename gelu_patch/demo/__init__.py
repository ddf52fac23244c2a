"""The main job, end to end, on a real checkpoint and real sentences that install as packages."""
