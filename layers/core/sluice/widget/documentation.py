"""The Markdown that CloudWatch shows beside the widget's parameters, in answer to `{"describe": true}`.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
"""

DOCUMENTATION = """\
## Sluice

What Sluice measures, decides and does for one fleet: capacity, backlog and oldest wait over the dashboard's time range,
the last decisions (each unfolds to its reasons and figures), the drains under way, and the failure groups in
quarantine as cards with their trend, a sample, their messages, a dry run and a redrive button.

The widget only reads. Its buttons call another function, the operator function, and work for those who may invoke it.

### Parameters

| name | type | meaning |
|---|---|---|
| **fleet** | text, optional | the fleet to show. Without it: all fleets of the stack, or the only one. |
| **view** | `fleet` or `fleets`, optional | `fleets`: all, the worst first; `fleet`: the one that is named |
| **search**, **page** | text, number, optional | of all fleets: a part of a fleet's name, and the page |
| **filter** | text, optional | show only the failure groups with this text in their cause or id |
| **failure_group** | text, optional | show the messages of this failure group, one by one, instead |
| **message_id** | text, optional | show this one quarantined message, whole, instead |

### Example

``` yaml
fleet: orders
```
"""
