"""What is measured of a fleet: service rate, lead time, arrivals, redeliveries, and how far forecasts were off."""
