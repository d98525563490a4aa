"""The helper of a supervisor that brings saved code to the workers of a cluster."""
