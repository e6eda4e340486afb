"""lab: starts Ringmur on an emulated host, talks to it as an operator would, and looks at it from outside."""
