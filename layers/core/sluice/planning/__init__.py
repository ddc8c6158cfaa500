"""From a snapshot of queue and group to the capacity that the group needs, with the reasons."""
