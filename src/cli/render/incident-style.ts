/** The style sheet of the incident page: light and dark by the reader's choice, readable on a telephone, printable. */
export const incidentCss = `
:root { --ink: #1b1f24; --soft: #57606a; --paper: #ffffff; --card: #f6f8fa; --line: #d0d7de; --red: #b3261e;
  --amber: #8a5300; --green: #116329; --stall: #b3261e; --made: #0b57a4; --band: #f6d5d2; --code: #eaeef2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #a3adb8; --paper: #0d1117; --card: #161b22; --line: #3d444d; --red: #ff9d94;
    --amber: #f0b95b; --green: #6fdc8c; --stall: #ff9d94; --made: #7cc0ff; --band: #4a1d1a; --code: #262c36; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; line-height: 1.35; margin: .25rem 0 .75rem; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p, ul, ol { margin: .5rem 0; }
ul, ol { padding-left: 1.5rem; }
code { background: var(--code); padding: 0 .25em; border-radius: 3px; }
.loop { color: var(--red); } .trouble, .nothing-read { color: var(--amber); } .quiet { color: var(--green); }
.soft { color: var(--soft); }
.chain > li { margin: .75rem 0; } .chain p { margin: .15rem 0; }
.chain time { font-variant-numeric: tabular-nums; color: var(--soft); }
.tag { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; font-size: .85rem; white-space: nowrap; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid var(--made); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: normal; }
figure { margin: .5rem 0; padding: .75rem; background: var(--card); border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .35rem; }
svg { display: block; width: 100%; height: auto; } svg.rates { height: 7rem; }
svg.ring { max-width: 30rem; margin: auto; }
.box { fill: var(--paper); stroke: var(--line); } .box.first { stroke: var(--red); stroke-width: 2; }
.words { fill: var(--ink); font: 13px system-ui, sans-serif; }
.when { fill: var(--soft); font: 11px system-ui, sans-serif; }
.arrow { fill: none; stroke: var(--soft); stroke-width: 1.5; } .back { stroke: var(--red); stroke-width: 2; }
.tip { fill: var(--soft); } .tip.back { fill: var(--red); stroke: none; }
.made { fill: var(--made); } .stalls { fill: var(--stall); } .frozen { fill: var(--band); } .boot { fill: var(--soft); }
.ends { display: flex; justify-content: space-between; gap: 1rem; color: var(--soft); font-size: .85rem; }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px; }
.key.made::before { background: var(--made); } .key.stalls::before { background: var(--stall); }
.key.frozen::before { background: var(--band); border: 1px solid var(--stall); }
@media (max-width: 30rem) { body { padding: .75rem; } figure { padding: .4rem; } }
@media print { body { max-width: none; } figure { break-inside: avoid; } }
`.trim();
