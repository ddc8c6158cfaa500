"""What a stack costs a month: recorded calls times list prices."""
