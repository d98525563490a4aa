"""A plain Python program that restarts itself: what starts it again, when that is safe, and what goes along."""
