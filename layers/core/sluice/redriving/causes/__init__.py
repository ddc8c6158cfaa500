"""Why a message failed, read from what its consumer, its service or its own body says.

    what was said --> stack_traces: the exception that began it, and the own place where it was raised
                  --> masking:      one line, without what differs from message to message
                  --> passing:      whether it passes by itself, such as a peer that is away
    a body        --> envelopes:    what an SNS notification, a Celery task or a Lambda record carries, and its error
                  --> payload_pointers: the S3 object that a body stands for

Everything here is data of strangers: it is read within bounds, never raises, and is never interpreted.
"""
