"""What each of the planner's rules gains: the planner without it, over generated traffic, real traces and worlds."""
