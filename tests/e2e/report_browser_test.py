#!/usr/bin/env python3
"""The report in a real browser: headless chromium opens the page of every sample, wide and narrow, light and dark, on paper, with the keyboard
and as a screen reader finds it, and its charts are compared with pictures that a person has looked at.

report_browser_test.py PAGES_PROGRAM [--accept]: PAGES_PROGRAM writes the samples into a folder; --accept takes what the browser shows now
as the pictures to compare with (look at the pages first). Exits 77, skipped, where there is no chromium."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import browser

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden/report_pictures"
PROGRAM = None
ACCEPT = False
COLUMNS, ROWS = 32, 20
VARIANTS = [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]

# What is wrong with the layout, as a list of sentences. A thing may be wider than the page only within something that scrolls by itself.
LAYOUT = r"""
(() => {
  const found = [], width = document.documentElement.clientWidth;
  if (document.scrollingElement.scrollWidth > width) found.push(`the page scrolls sideways: ${document.scrollingElement.scrollWidth} > ${width}`);
  const shown = e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length > 0;
  const scrolls = e => { for (let p = e; p; p = p.parentElement) if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(p).overflowX)) return true; return false; };
  const name = e => `${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''} “${e.textContent.trim().slice(0, 40)}”`;
  for (const e of document.querySelectorAll('main *')) {
    if (e.closest('.skip') || !shown(e) || e.tagName === 'CAPTION' || scrolls(e)) continue;
    const r = e.getBoundingClientRect();
    if (r.width > 0 && (r.left < -1 || r.right > width + 1)) found.push(`${name(e)} reaches from ${r.left.toFixed(0)} to ${r.right.toFixed(0)} of ${width}`);
  }
  // Texts of a chart neither overlap each other nor are too small to be read.
  for (const svg of document.querySelectorAll('svg.chart')) {
    if (!shown(svg)) continue;
    const texts = [...svg.querySelectorAll('text')].map(t => ({text: t.textContent, r: t.getBoundingClientRect(), size: parseFloat(getComputedStyle(t).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width}));
    for (const t of texts) {
      if (t.size < 9.5) found.push(`“${t.text}” in ${svg.getAttribute('aria-labelledby')} is ${t.size.toFixed(1)} pixels high`);
    }
    for (let i = 0; i < texts.length; ++i) for (let k = i + 1; k < texts.length; ++k) {
      const a = texts[i].r, b = texts[k].r;
      const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (w > 2 && h > 0.35 * Math.min(a.height, b.height)) found.push(`“${texts[i].text}” and “${texts[k].text}” overlap in ${svg.getAttribute('aria-labelledby')}`);
    }
  }
  return found;
})()"""

# Texts that do not stand out from what is behind them: WCAG's contrast, 4.5, or 3 for large ones.
CONTRAST = r"""
(() => {
  const found = new Set();
  const parse = c => { const m = c.match(/rgba?\(([^)]+)\)/); if (m) { const v = m[1].split(/[ ,\/]+/).map(Number); return [v[0], v[1], v[2], v.length > 3 ? v[3] : 1]; }
    const s = c.match(/color\(srgb ([^)]+)\)/); if (s) { const v = s[1].split(/[ \/]+/).map(Number); return [v[0] * 255, v[1] * 255, v[2] * 255, v.length > 3 ? v[3] : 1]; } return [0, 0, 0, 0]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat([1]);
  const ground = e => { const layers = []; for (let p = e; p; p = p.parentElement) { const c = parse(getComputedStyle(p).backgroundColor); if (c[3] > 0) layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]); };
  const light = c => { const [r, g, b] = c.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility() || ['SCRIPT', 'STYLE', 'title', 'desc'].includes(e.tagName)) continue;
    const style = getComputedStyle(e), svg = e.ownerSVGElement, behind = ground(svg || e);
    const colour = over(parse(svg ? style.fill : style.color), behind), size = parseFloat(style.fontSize);
    const [a, b] = [light(colour), light(behind)], ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const needs = size >= 24 || (size >= 18.6 && parseInt(style.fontWeight) >= 600) ? 3 : 4.5;
    if (ratio < needs) found.add(`“${e.textContent.trim().slice(0, 30)}” (${e.tagName}.${e.getAttribute('class')}) has contrast ${ratio.toFixed(2)}`);
  }
  return [...found];
})()"""

# What a screen reader needs: names of pictures, heads and captions of tables, headings in order, ids that are unique and are there.
STRUCTURE = r"""
(() => {
  const found = [];
  const text = id => document.getElementById(id)?.textContent.trim();
  for (const svg of document.querySelectorAll('svg')) {
    if (svg.closest('[aria-hidden=true]') || svg.getAttribute('aria-hidden') === 'true') continue;
    const label = svg.getAttribute('aria-label') || (svg.getAttribute('aria-labelledby') || '').split(' ').map(text).join('');
    if (svg.getAttribute('role') !== 'img' || !label) found.push(`a picture without role or name: ${svg.outerHTML.slice(0, 90)}`);
  }
  for (const t of document.querySelectorAll('table')) {
    if (!t.caption || !t.caption.textContent.trim()) found.push(`a table without a caption: ${t.textContent.trim().slice(0, 40)}`);
    for (const th of t.querySelectorAll('th')) if (!['row', 'col'].includes(th.getAttribute('scope'))) found.push(`a head without scope: ${th.textContent}`);
    for (const row of t.querySelectorAll('tbody tr')) if (!row.querySelector('th[scope=row]')) found.push(`a row without a head: ${row.textContent.slice(0, 40)}`);
  }
  let last = 0;
  for (const h of document.querySelectorAll('h1, h2, h3, h4')) {
    const level = Number(h.tagName[1]);
    if (level > last + 1) found.push(`heading ${h.tagName} “${h.textContent}” after level ${last}`);
    last = level;
  }
  if (!document.querySelector('h1')) found.push('no h1');
  if (document.querySelectorAll('main').length !== 1) found.push('not one main');
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id), seen = new Set();
  for (const id of ids) { if (seen.has(id)) found.push(`id ${id} twice`); seen.add(id); }
  for (const a of document.querySelectorAll('a[href^="#"]')) if (!seen.has(a.getAttribute('href').slice(1))) found.push(`link to nowhere: ${a.getAttribute('href')}`);
  for (const e of document.querySelectorAll('[aria-labelledby]')) for (const id of e.getAttribute('aria-labelledby').split(' ')) if (!seen.has(id)) found.push(`labelled by nothing: ${id}`);
  for (const n of document.querySelectorAll('nav, [role=region]')) if (!n.getAttribute('aria-label')) found.push(`a landmark without a name: ${n.outerHTML.slice(0, 60)}`);
  if (document.documentElement.lang !== 'en') found.push('no language');
  return found;
})()"""

# Where the pictures are. Their texts are taken out, for they look different with every font; LAYOUT and CONTRAST see to them.
CHARTS = r"""
(() => document.head.insertAdjacentHTML('beforeend', '<style>svg text { visibility: hidden; }</style>') ||
  [...document.querySelectorAll('.verdict .icon, svg.chart')].filter(e => e.checkVisibility() && !e.classList.contains('strip')).slice(0, 16).map(e => {
  const r = e.getBoundingClientRect(); return [r.left + scrollX, r.top + scrollY, Math.max(1, r.width), Math.max(1, r.height)]; }))()"""


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        subprocess.run([PROGRAM, cls.folder], check=True, timeout=60)
        cls.pages = sorted(cls.folder.glob("*.html"))
        cls.browser = browser.Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.temporary.cleanup()

    def tearDown(self):
        self.browser.look(1280)

    def path(self, name):
        return self.folder / f"{name}.html"

    def test_nothing_overflows_overlaps_or_fades(self):
        for page in self.pages:
            for width, scheme in VARIANTS:
                with self.subTest(page=page.stem, width=width, scheme=scheme):
                    self.browser.look(width, scheme=scheme)
                    self.browser.open(page)
                    self.assertEqual(self.browser.complaints(), [])
                    self.assertEqual(self.browser.evaluate(LAYOUT), [])
                    self.assertEqual(self.browser.evaluate(CONTRAST), [])
                    self.assertGreaterEqual(self.browser.evaluate("document.querySelectorAll('svg.chart').length"), 8)
                    if page.stem != "gate":
                        self.assertGreaterEqual(self.browser.evaluate("document.querySelectorAll('canvas').length"), 6, "the timeline")
                    self.assertNotIn("alert(1)</script>", self.browser.evaluate("document.documentElement.outerHTML"))

    def test_with_everything_unfolded_nothing_overflows_either(self):
        for name in ("gate", "both", "hostile", "many_stages"):
            for width in (400, 1280):
                with self.subTest(page=name, width=width):
                    self.browser.look(width)
                    self.browser.open(self.path(name))
                    self.browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                    self.browser.settle()
                    self.assertEqual(self.browser.evaluate(LAYOUT), [])

    def test_the_checks_find_what_is_wrong(self):
        self.browser.look(400)
        self.browser.open(self.path("gate"))
        self.browser.evaluate("document.querySelector('main section').insertAdjacentHTML('beforeend', '<p style=\"width:600px;color:#ddd\">wide and pale</p><svg><text>x</text></svg><table><tr><th>a</th></tr></table><h4>h</h4>')")
        self.browser.evaluate("document.querySelectorAll('svg.chart text')[3].setAttribute('x', document.querySelectorAll('svg.chart text')[4].getAttribute('x')); document.querySelectorAll('svg.chart text')[3].setAttribute('y', document.querySelectorAll('svg.chart text')[4].getAttribute('y')); document.querySelectorAll('svg.chart text')[3].setAttribute('text-anchor', document.querySelectorAll('svg.chart text')[4].getAttribute('text-anchor') || 'start')")
        layout = " ".join(self.browser.evaluate(LAYOUT))
        self.assertIn("the page scrolls sideways: 6", layout)
        self.assertIn("“wide and pale” reaches", layout)
        self.assertIn("overlap", layout)
        self.assertIn("“wide and pale” (P.null) has contrast", " ".join(self.browser.evaluate(CONTRAST)))
        structure = " ".join(self.browser.evaluate(STRUCTURE))
        for said in ("a picture without role or name", "a table without a caption", "a head without scope", "heading H4 “h” after level 2"):
            self.assertIn(said, structure)

    def test_a_screen_reader_finds_its_way(self):
        for page in self.pages:
            with self.subTest(page=page.stem):
                self.browser.open(page)
                self.assertEqual(self.browser.evaluate(STRUCTURE), [])
                nodes = [n for n in self.browser.send("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
                by_role = {}
                for n in nodes:
                    by_role.setdefault(n["role"]["value"], []).append(n.get("name", {}).get("value", ""))
                self.assertEqual(len(by_role["main"]), 1)
                self.assertTrue(all(by_role["table"]), "every table has a name")
                self.assertTrue(all(by_role.get("img", by_role.get("image", []))), "every picture has a name")
                self.assertTrue(all(by_role["region"]), "every region has a name")
                # The verdict is the first heading, in words.
                self.assertRegex(by_role["heading"][0], r"^(READY|NOT READY|INCONCLUSIVE|INVALID|MEASURED|PASSED|REGRESSED|SLO MISSED)$")

    def test_the_keyboard_reaches_everything_in_order(self):
        for name in ("gate", "collapsed"):
            with self.subTest(page=name):
                self.browser.look(400)
                self.browser.open(self.path(name))
                seen, tops = [], []
                for _ in range(200):
                    self.browser.key("Tab", 9)
                    at = self.browser.evaluate("(() => { const e = document.activeElement, r = e.getBoundingClientRect(), s = getComputedStyle(e); if (e === document.body) return null;"
                                               " window.order = window.order || [...document.querySelectorAll('*')];"
                                               " return {what: e.tagName + '.' + e.className + (e.getAttribute('aria-label') || e.textContent).slice(0, 30), index: window.order.indexOf(e), outline: s.outlineStyle + s.outlineWidth, inside: r.left >= -1 && r.right <= innerWidth + 1 && r.bottom > 0 && r.top < innerHeight}; })()")
                    if at is None:
                        break
                    seen.append(at)
                self.assertTrue(seen[0]["what"].startswith("A.skip"), seen[0])
                self.assertEqual([s["index"] for s in seen], sorted(s["index"] for s in seen), "in the order of the page")
                for s in seen:
                    self.assertTrue(s["inside"], s)
                    self.assertNotIn("none", s["outline"], s)
                # Links, tables that scroll and what unfolds are all among them.
                wanted = self.browser.evaluate("[...document.querySelectorAll('a[href], summary, [tabindex=\"0\"]')].filter(e => e.checkVisibility()).length")
                self.assertEqual(len(seen), wanted)

    def test_the_skip_link_leads_past_the_head(self):
        self.browser.look(400)
        self.browser.open(self.path("collapsed"))
        self.browser.key("Tab", 9)
        self.browser.send("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        self.browser.send("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
        self.browser.settle()
        self.assertEqual(self.browser.evaluate("document.activeElement.id + location.hash"), "content#content")
        self.browser.key("Tab", 9)
        self.assertTrue(self.browser.evaluate("!!document.activeElement.closest('nav') || !!document.activeElement.closest('main')"))

    def test_without_scripts_every_chart_is_there(self):
        self.browser.send("Emulation.setScriptExecutionDisabled", value=True)
        try:
            self.browser.look(400)
            self.browser.open(self.path("collapsed"), scripts=False)
            root = self.browser.send("DOM.getDocument", depth=0)["root"]["nodeId"]
            html = self.browser.send("DOM.getOuterHTML", nodeId=root)["outerHTML"]
            self.assertEqual(html.count("<canvas"), 0)
            self.assertGreaterEqual(html.count('<svg class="chart'), 12)
        finally:
            self.browser.send("Emulation.setScriptExecutionDisabled", value=False)

    def test_on_paper(self):
        for name in ("gate", "collapsed", "both"):
            with self.subTest(page=name):
                # As wide as what is printed on of A4 within margins of 14 mm.
                self.browser.look(round((210 - 28) / 25.4 * 96), scheme="dark", media="print")
                self.browser.open(self.path(name))
                self.browser.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
                self.browser.settle()
                self.assertEqual([c for c in self.browser.evaluate(LAYOUT) if "pixels high" not in c], [])
                self.assertEqual(self.browser.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)", "paper is white in the dark, too")
                self.assertEqual(self.browser.evaluate("[...document.querySelectorAll('nav, .skip, summary, canvas')].filter(e => e.checkVisibility()).length"), 0)
                pdf = self.browser.pdf()
                boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", pdf)
                self.assertGreater(len(boxes), 1)
                for w, h in boxes:
                    self.assertAlmostEqual(float(w), 595.3, delta=1.5)
                    self.assertAlmostEqual(float(h), 841.9, delta=1.5)
                self.assertLess(len(boxes), 40)

    def sheet(self, name, width, scheme):
        """Thumbnails of the verdict's sign and of the charts."""
        self.browser.look(width, scheme=scheme)
        self.browser.open(self.path(name))
        return [browser.thumbnail(self.browser.picture(clip), COLUMNS, ROWS) for clip in self.browser.evaluate(CHARTS)]

    @staticmethod
    def difference(a, b):
        """How far two thumbnails are apart: the mean over all blocks, and over the twentieth of them that differ most; of 255."""
        apart = sorted(abs(x - y) for x, y in zip(a, b))
        worst = apart[-len(apart) // 20:]
        return sum(apart) / len(apart), sum(worst) / len(worst)

    # A line that is gone, a marker that has moved or a ground of another colour is several times as far away, see
    # test_the_comparison_sees_a_change(); another version of the browser smooths edges a little differently.
    MEAN, WORST = 0.7, 9.0

    def test_the_charts_look_as_they_were_looked_at(self):
        for name in ("collapsed", "gate"):
            for width, scheme in VARIANTS:
                with self.subTest(page=name, width=width, scheme=scheme):
                    sheet = self.sheet(name, width, scheme)
                    golden = GOLDEN / f"{name}-{width}-{scheme}.png"
                    if ACCEPT:
                        GOLDEN.mkdir(exist_ok=True)
                        golden.write_bytes(browser.encode_png(COLUMNS, ROWS * len(sheet), b"".join(sheet)))
                        continue
                    w, h, rgb = browser.decode_png(golden.read_bytes())
                    self.assertEqual((w, h), (COLUMNS, ROWS * len(sheet)), "as many charts as there were")
                    size = COLUMNS * ROWS * 3
                    for i, seen in enumerate(sheet):
                        mean, worst = self.difference(seen, rgb[i * size:(i + 1) * size])
                        self.assertLess(mean, self.MEAN, f"picture {i} differs by {mean:.1f} of 255 (worst {worst:.1f}); is it meant? --accept")
                        self.assertLess(worst, self.WORST, f"picture {i} differs by {worst:.1f} of 255 in places (mean {mean:.1f}); is it meant? --accept")

    def test_the_comparison_sees_a_change(self):
        before = self.sheet("gate", 1280, "light")
        for change in ("document.querySelectorAll('svg.chart:not(.strip)').forEach(s => s.querySelectorAll('path.ln').forEach(p => p.remove()))",
                       "document.querySelectorAll('section').forEach(s => s.style.background = '#ddeeff')",
                       "document.querySelectorAll('svg.chart .mk').forEach(p => p.style.transform = 'translate(0, 30px)')"):
            with self.subTest(change=change):
                self.sheet("gate", 1280, "light")
                self.browser.evaluate(change)
                self.browser.settle()
                after = [browser.thumbnail(self.browser.picture(clip), COLUMNS, ROWS) for clip in self.browser.evaluate(CHARTS)]
                seen = [self.difference(a, b) for a, b in zip(before, after)]
                self.assertTrue(any(mean > self.MEAN or worst > self.WORST for mean, worst in seen), seen)


if __name__ == "__main__":
    if not browser.find():
        print("skipped: no chromium on this machine (scripts/setup --test installs it)")
        sys.exit(77)
    ACCEPT = "--accept" in sys.argv
    rest = [a for a in sys.argv[1:] if a != "--accept"]
    PROGRAM = rest.pop(0)
    unittest.main(argv=[sys.argv[0], *rest])
