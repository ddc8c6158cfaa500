"""The widget's style sheet: one for both themes, every rule under the widget's own class.

It holds no quote, angle bracket or ampersand, so that htpy's escaping leaves it as it is and no string of the widget
has to be marked as safe. Nothing outside the widget is styled: whether a dashboard isolates its widgets is not
documented.
"""

CSS = """
.sl { --text: #16191f; --muted: #5f6b7a; --faint: #6c7785; --line: #e4e7ea; --panel: #f7f8f9; --chip: #eef1f4;
  --capacity: #1f6fd0; --backlog: #0e7f74; --wait: #c8601b; --need: #7c8a9a; --good: #1b7a28; --bad: #c62f17;
  --warn: #9a6400; --bad-soft: #fdf0ed; --warn-soft: #fdf6e6; --button: #ffffff; --button-line: #a9b3be;
  --primary: #0f62c4; --on-primary: #ffffff; }
.sl.sl-dark { --text: #dfe4ea; --muted: #95a3b3; --faint: #7a8899; --line: #2b3848; --panel: #17222f; --chip: #223040;
  --capacity: #5aa5f0; --backlog: #35b8a8; --wait: #f0975a; --need: #8593a3; --good: #4fc15c; --bad: #ff8a75;
  --warn: #e5b454; --bad-soft: #33201f; --warn-soft: #2f2818; --button: #17222f; --button-line: #526274;
  --primary: #5aa5f0; --on-primary: #0b1520; }
.sl { box-sizing: border-box; color: var(--text); background: transparent; padding: 4px 2px 8px;
  font: 13px/1.45 Amazon Ember, Open Sans, Helvetica Neue, Roboto, Liberation Sans, Arial, sans-serif;
  font-variant-numeric: tabular-nums; text-align: left; }
.sl *, .sl *::before, .sl *::after { box-sizing: border-box; }
.sl :where(h2, h3, p, ul, ol, pre, table, dl, dd) { margin: 0; padding: 0; border: 0; }
.sl :where(ul, ol) { list-style: none; }
.sl bdi { unicode-bidi: isolate; }
.sl-head { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; margin-bottom: 8px; }
.sl-head h2 { font-size: 17px; line-height: 24px; font-weight: 700; color: var(--text); overflow-wrap: anywhere; }
.sl-head .sl-when { margin-left: auto; color: var(--muted); font-size: 12px; }
.sl-pill { display: inline-block; padding: 0 7px; border-radius: 9px; font-size: 11px; line-height: 18px;
  font-weight: 600; color: var(--muted); background: var(--chip); white-space: nowrap; }
.sl-pill.sl-good { color: var(--good); }
.sl-pill.sl-warn { color: var(--warn); background: var(--warn-soft); }
.sl-pill.sl-bad { color: var(--bad); background: var(--bad-soft); }
.sl-tabs { display: flex; flex-wrap: wrap; gap: 4px; margin: 0 0 8px; }
.sl button { font: inherit; font-size: 12px; line-height: 20px; font-weight: 600; color: var(--text);
  background: var(--button); border: 1px solid var(--button-line); border-radius: 12px; padding: 1px 12px; margin: 0;
  cursor: pointer; white-space: nowrap; }
.sl button:hover { border-color: var(--primary); color: var(--primary); }
.sl-hear { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.sl button:focus-visible, .sl summary:focus-visible, .sl pre:focus-visible,
.sl input:focus-visible { outline: 2px solid var(--primary); outline-offset: 2px; }
.sl button.sl-go { background: var(--primary); border-color: var(--primary); color: var(--on-primary); }
.sl button.sl-go:hover { color: var(--on-primary); filter: brightness(1.12); }
.sl button[disabled] { background: var(--chip); border-color: var(--chip); color: var(--text); cursor: default; }
.sl-tabs button { border-color: transparent; background: transparent; color: var(--muted); font-weight: 400; }
.sl-tabs button[disabled] { font-weight: 600; }
.sl-tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); gap: 1px; margin: 0 0 14px;
  background: var(--line); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.sl-tiles div { background: var(--panel); padding: 7px 10px 8px; min-width: 0; }
.sl-tiles dt { color: var(--muted); font-size: 11px; line-height: 14px; white-space: nowrap; }
.sl-tiles dd { font-size: 19px; line-height: 25px; font-weight: 700; white-space: nowrap; color: var(--text); }
.sl-tiles dd.sl-bad { color: var(--bad); }
.sl-tiles small { display: block; font-size: 11px; line-height: 14px; font-weight: 400; color: var(--muted);
  white-space: normal; overflow-wrap: anywhere; }
.sl-tiles dd.sl-bad small { color: var(--bad); }
.sl-body { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 14px 28px; }
.sl-body section { flex: 1 1 100%; min-width: 0; }
.sl-wide .sl-body .sl-main { flex: 1.35 1 0; }
.sl-wide .sl-body .sl-side { flex: 1 1 0; }
.sl-main, .sl-side { display: flex; flex-direction: column; gap: 14px; flex: 1 1 100%; min-width: 0; }
.sl h3, .sl h2.sl-title { font-size: 13px; line-height: 20px; font-weight: 700; color: var(--text); display: flex;
  flex-wrap: wrap; align-items: center; gap: 2px 8px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
.sl h3 .sl-count, .sl-title .sl-count { font-weight: 400; color: var(--muted); }
.sl h3 .sl-acts, .sl-title .sl-acts { margin-left: auto; }
.sl-quiet { color: var(--muted); font-size: 12px; padding: 6px 0 0; }
.sl-note { border-left: 3px solid var(--warn); background: var(--warn-soft); border-radius: 0 6px 6px 0;
  padding: 6px 10px; margin: 0 0 8px; font-size: 12px; overflow-wrap: anywhere; }
.sl-note.sl-bad { border-color: var(--bad); background: var(--bad-soft); }
.sl-note b { font-weight: 700; }
.sl-note ul { padding-top: 2px; }
.sl-note li { padding: 1px 0; }
.sl-tag { display: inline-block; font: 10px/14px Liberation Mono, Menlo, Consolas, monospace; padding: 0 3px;
  margin: 0 1px; border-radius: 3px; color: var(--warn); background: var(--warn-soft); vertical-align: 1px;
  white-space: nowrap; }
.sl-acts { display: inline-flex; flex-wrap: wrap; gap: 6px; }
.sl cwdb-action { display: none; }

.sl svg.sl-chart { display: block; width: 100%; height: auto; overflow: visible; }
.sl-chart text { font: 11px Amazon Ember, Open Sans, Helvetica Neue, Roboto, Liberation Sans, Arial, sans-serif;
  fill: var(--muted); }
.sl-chart .sl-name { font-weight: 700; fill: var(--text); }
.sl-chart .sl-scale, .sl-chart .sl-tick { fill: var(--faint); font-size: 10px; }
.sl-chart .sl-grid { stroke: var(--line); stroke-width: 1; shape-rendering: crispEdges; fill: none; }
.sl-chart .sl-capacity-fill { fill: var(--capacity); opacity: 0.16; }
.sl-chart .sl-capacity { stroke: var(--capacity); stroke-width: 2; fill: none; stroke-linejoin: round; }
.sl-chart .sl-need { stroke: var(--need); stroke-width: 1.25; stroke-dasharray: 3 2; fill: none; }
.sl-chart .sl-backlog-fill { fill: var(--backlog); opacity: 0.22; }
.sl-chart .sl-backlog { stroke: var(--backlog); stroke-width: 1.5; fill: none; stroke-linejoin: round; }
.sl-chart .sl-wait { stroke: var(--wait); stroke-width: 1.5; fill: none; stroke-linejoin: round; }
.sl-chart .sl-late { fill: var(--bad); opacity: 0.25; }
.sl-chart .sl-target { stroke: var(--bad); stroke-width: 1; stroke-dasharray: 5 3; fill: none; opacity: 0.8; }
.sl-chart .sl-target-name { fill: var(--bad); font-size: 10px; }
.sl-chart .sl-dot-capacity { fill: var(--capacity); }
.sl-chart .sl-dot-backlog { fill: var(--backlog); }
.sl-chart .sl-dot-wait { fill: var(--wait); }
.sl-chart .sl-mark { fill: var(--capacity); stroke: none; }
.sl-chart .sl-mark-shadow { fill: none; stroke: var(--capacity); stroke-width: 1; }
.sl-chart .sl-mark-failed { fill: none; stroke: var(--bad); stroke-width: 1.75; }
.sl-chart .sl-slice { fill: var(--text); opacity: 0; }
.sl-chart .sl-slice:hover { opacity: 0.08; }
.sl-nothing { color: var(--muted); background: var(--panel); border-radius: 8px; padding: 18px 14px; font-size: 12px; }

.sl details { min-width: 0; }
.sl summary { cursor: pointer; list-style: none; display: flex; align-items: baseline; gap: 8px; padding: 6px 0; }
.sl summary::-webkit-details-marker { display: none; }
.sl-turn { flex: none; width: 7px; height: 7px; border: solid var(--faint); border-width: 0 1.5px 1.5px 0;
  transform: rotate(-45deg); align-self: center; margin: 0 3px 0 auto; }
.sl details[open] summary .sl-turn { transform: rotate(45deg); }
.sl details details summary .sl-turn { transform: rotate(-45deg); }
.sl details details[open] summary .sl-turn { transform: rotate(45deg); }
.sl-rows li { border-bottom: 1px solid var(--line); }
.sl-rows li:last-child { border-bottom: 0; }
.sl-time { flex: none; color: var(--muted); font-size: 12px; }
.sl-move { flex: none; font-weight: 700; min-width: 64px; white-space: nowrap; }
.sl-scale-out { color: var(--capacity); }
.sl-scale-in { color: var(--backlog); }
.sl-hold { color: var(--faint); font-weight: 400; }
.sl-say { flex: 1 1 auto; min-width: 0; overflow-wrap: anywhere; }
.sl-narrow .sl-rows summary { flex-wrap: wrap; gap: 0 8px; }
.sl-narrow .sl-rows summary .sl-say { order: 1; flex-basis: 100%; }
.sl-more { padding: 0 0 10px; font-size: 12px; }
.sl-more p { padding: 2px 0; overflow-wrap: anywhere; color: var(--muted); }
.sl-more p b { color: var(--text); }
.sl-steps li { display: flex; gap: 8px; align-items: baseline; border: 0; padding: 2px 0; }
.sl-steps .sl-say { color: var(--text); }
.sl-steps .sl-from { flex: none; color: var(--muted); white-space: nowrap; }
.sl table { border-collapse: collapse; width: 100%; margin-top: 4px; font-size: 12px; color: var(--text); }
.sl th { text-align: left; font-weight: 400; color: var(--muted); padding: 2px 8px 2px 0; border: 0;
  background: transparent; }
.sl td, .sl tbody th { padding: 2px 8px 2px 0; border: 0; border-top: 1px solid var(--line); overflow-wrap: anywhere;
  background: transparent; }
.sl td.sl-figure, .sl th.sl-figure { text-align: right; white-space: nowrap; padding-right: 16px; }
.sl-item { padding: 8px 0; }
.sl-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); gap: 8px;
  padding-top: 8px; }
.sl-card { border: 1px solid var(--line); border-radius: 8px; padding: 8px 10px; min-width: 0; }
.sl-card .sl-acts { padding-top: 6px; }
.sl-card .sl-line { flex-wrap: nowrap; align-items: flex-start; }
.sl-trend-row { display: flex; flex-wrap: wrap; align-items: flex-end; gap: 2px 8px; padding: 4px 0 2px; }
.sl-trend { flex: none; }
.sl-trend rect { fill: var(--bad); }
.sl-trend-base { stroke: var(--need); stroke-width: 1; shape-rendering: crispEdges; }
.sl-warn-text { color: var(--warn); font-weight: 600; }
.sl .sl-legend { display: flex; flex-wrap: wrap; gap: 2px 12px; padding: 4px 5px 0; font-size: 11px;
  color: var(--muted); }
.sl-legend li { display: inline-flex; align-items: center; gap: 5px; }
.sl svg.sl-swatch { flex: none; width: 16px; height: 12px; }
.sl .sl-todo { list-style: decimal; padding: 8px 0 0 18px; display: grid; gap: 6px; }
.sl-todo pre { margin-top: 6px; }
.sl-fleets th, .sl-fleets td { vertical-align: top; }
.sl-fleets tbody th { padding: 7px 12px 7px 0; border-top: 1px solid var(--line); width: 46%; }
.sl-fleets td { padding: 7px 0; }
.sl-fleets .sl-bad { color: var(--bad); font-weight: 700; }
.sl-fleets .sl-bad .sl-facts { font-weight: 400; }
.sl-fleets .sl-facts { padding-top: 2px; }
.sl button.sl-name { white-space: normal; overflow-wrap: anywhere; text-align: left; border-color: transparent;
  background: transparent; color: var(--primary); padding: 0; font-size: 13px; }
.sl button.sl-name:hover { text-decoration: underline; }
.sl-column { display: none; }
.sl-narrow .sl-fleets, .sl-narrow .sl-fleets tbody { display: block; }
.sl-narrow .sl-fleets thead { display: none; }
.sl-narrow .sl-fleets tr { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 4px 8px;
  padding: 8px 0; border-top: 1px solid var(--line); }
.sl-narrow .sl-fleets tbody th { grid-column: 1 / -1; width: auto; border: 0; padding: 0; }
.sl-narrow .sl-fleets td, .sl-narrow .sl-fleets td.sl-figure { border: 0; padding: 0; text-align: left;
  white-space: normal; }
.sl-narrow .sl-column { display: block; font-size: 11px; font-weight: 400; color: var(--muted); }
.sl .sl-pages { padding-top: 8px; border-top: 1px solid var(--line); }
.sl-filter { display: flex; gap: 6px; padding: 8px 0 0; }
.sl-filter form { flex: 1 1 auto; min-width: 0; display: flex; }
.sl-filter input { flex: 1 1 auto; min-width: 0; font: inherit; color: var(--text); background: transparent;
  border: 1px solid var(--line); border-radius: 8px; padding: 1px 8px; }
.sl-meta { display: grid; grid-template-columns: max-content 1fr; gap: 2px 10px; font-size: 12px; padding: 4px 0; }
.sl-meta dt { color: var(--muted); overflow-wrap: anywhere; }
.sl-meta dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.sl pre.sl-whole { max-height: 420px; }
.sl-line { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 8px; }
.sl-line b { font-weight: 700; overflow-wrap: anywhere; min-width: 0; }
.sl-line .sl-acts { margin-left: auto; }
.sl-facts { color: var(--muted); font-size: 12px; overflow-wrap: anywhere; }
.sl-bar { display: flex; height: 4px; border-radius: 2px; background: var(--chip); overflow: hidden;
  margin: 6px 0 4px; }
.sl-bar i { display: block; height: 4px; background: var(--capacity); }
.sl-bar i.sl-good { background: var(--good); }
.sl-bar i.sl-bad { background: var(--bad); }
.sl-bar i.sl-warn { background: var(--warn); }
.sl pre { font: 11px/16px Liberation Mono, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  background: var(--panel); border-radius: 6px; padding: 8px 10px; max-height: 180px; overflow: auto;
  color: var(--text); }
.sl .sl-sample summary { padding: 3px 0; gap: 6px; color: var(--muted); font-size: 12px; justify-content: flex-start; }
.sl .sl-sample summary .sl-turn { margin: 0 4px 0 2px; order: -1; }
"""
