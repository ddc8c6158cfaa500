"""An order-processing application on SQS: a front end that enqueues, consumers that write to a database."""
