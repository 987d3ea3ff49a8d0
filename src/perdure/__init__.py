"""perdure: a runtime in which a bulk-synchronous job outlives the nodes it runs on."""

__version__ = "0.1.0.dev0"
