"""The demonstration behind `make demo`: the main job, on a real containerd where one can be had."""
