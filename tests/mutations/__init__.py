"""Would the simulator notice? Deliberate mistakes in the core, one line each; every one must be caught, or a checker is missing."""
