// Draws the interactive timeline: one dygraph for each chart of each block of data, all of a block zoomed together.
// Text from the run reaches the page through textContent only.
(function () {
  'use strict';
  document.documentElement.classList.add('scripted');
  var colour = function (name) {
    return getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  };
  var two = function (n) { return (n < 10 ? '0' : '') + n; };
  var clock = function (s) {
    s = Math.round(s);
    var h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
    return (h > 0 ? h + ':' + two(m) : m) + ':' + two(s % 60);
  };
  var round = function (v) { return v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v >= 0.01 || v === 0 ? v.toFixed(2) : v.toPrecision(2); };
  var format = function (v, unit) {
    if (v === null || v === undefined || isNaN(v)) return '–';
    if (unit === 'share') return (v * 100).toFixed(0) + ' %';
    if (unit === 's') return v < 1e-3 && v > 0 ? round(v * 1e6) + ' µs' : v < 1 ? round(v * 1e3) + ' ms' : round(v) + ' s';
    return unit === '/s' ? round(v) + '/s' : Math.round(v).toLocaleString('en');
  };
  var axis = function (v, unit) {
    if (unit === 'share') return (v * 100).toFixed(0) + ' %';
    if (unit === 's') return v === 0 ? '0' : (Math.abs(v) < 1 ? +(v * 1e3).toPrecision(3) + ' ms' : +v.toPrecision(3) + ' s');
    return (+v.toPrecision(6)).toLocaleString('en');
  };
  // Steps that people read on a clock.
  var steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];
  var ticker = function (a, b, pixels) {
    var most = Math.max(2, Math.floor(pixels / 80)), step = steps[steps.length - 1], out = [];
    for (var i = 0; i < steps.length; ++i) {
      if ((b - a) / steps[i] <= most) { step = steps[i]; break; }
    }
    for (var t = Math.ceil(a / step) * step; t <= b; t += step) out.push({ v: t, label: clock(t) });
    return out;
  };
  var element = function (parent, name, type) {
    var e = document.createElement(name);
    if (type) e.className = type;
    parent.appendChild(e);
    return e;
  };
  var swatch = function (parent, series) {
    var ns = 'http://www.w3.org/2000/svg';
    var svg = document.createElementNS(ns, 'svg');
    svg.setAttribute('viewBox', '0 0 26 8');
    svg.setAttribute('class', 'c-' + series.tone);
    svg.setAttribute('aria-hidden', 'true');
    var line = document.createElementNS(ns, 'path');
    line.setAttribute('d', 'M0 4H26');
    line.setAttribute('stroke', 'currentColor');
    line.setAttribute('stroke-width', '2.4');
    if (series.dash) line.setAttribute('stroke-dasharray', series.dash.join(' '));
    svg.appendChild(line);
    parent.appendChild(svg);
  };

  var blocks = [];
  var build = function (box) {
    var data = JSON.parse(document.getElementById(box.getAttribute('data-source')).textContent);
    var graphs = [], busy = false, where = element(box, 'p', 'at-time');
    var stageAt = function (t) {
      for (var i = 0; i < data.stages.length; ++i) {
        if (t >= data.stages[i][0] && t < data.stages[i][1]) return data.stages[i];
      }
      return null;
    };
    data.charts.forEach(function (chart) {
      element(box, 'h3').textContent = chart.title;
      var key = element(box, 'div', 'key');
      var values = chart.series.map(function (s) {
        var item = element(key, 'span');
        swatch(item, s);
        item.appendChild(document.createTextNode(s.name + ' '));
        return element(item, 'b');
      });
      var rows = data.t.map(function (t, i) {
        return [t].concat(chart.series.map(function (s) { return s.v[i]; }));
      });
      // One point makes no line; a second one at the end of its bin does.
      if (rows.length === 1) rows.push([rows[0][0] + data.bin].concat(rows[0].slice(1)));
      var styles = {};
      chart.series.forEach(function (s) { styles[s.name] = { strokePattern: s.dash }; });
      var show = function (row) {
        values.forEach(function (b, i) { b.textContent = row === null ? '' : format(rows[row][i + 1], chart.unit); });
      };
      var plot = element(box, 'div', 'plot');
      plot.setAttribute('role', 'img');
      plot.setAttribute('aria-label', chart.title + ' over the run; the numbers are in the table below');
      var graph = new Dygraph(plot, rows, {
        labels: ['time'].concat(chart.series.map(function (s) { return s.name; })),
        colors: chart.series.map(function (s) { return colour(s.tone); }),
        series: styles,
        legend: 'never', includeZero: true, strokeWidth: 1.8, highlightCircleSize: 4, connectSeparatedPoints: false,
        drawPoints: false, drawGapEdgePoints: true, rightGap: 8, animatedZooms: false,
        gridLineColor: colour('grid'), axisLineColor: colour('muted'),
        valueRange: chart.unit === 'share' ? [0, 1.02] : [0, null],
        axes: {
          x: { ticker: function (a, b, pixels) { return ticker(a, b, pixels); }, drawGrid: false },
          y: { axisLabelWidth: 64, axisLabelFormatter: function (v) { return axis(v, chart.unit); } }
        },
        underlayCallback: function (canvas, area, g) {
          data.stages.forEach(function (s, i) {
            var a = Math.max(area.x, g.toDomXCoord(s[0])), b = Math.min(area.x + area.w, g.toDomXCoord(s[1]));
            var special = s[2] === 'hold' || s[2] === 'descent' || s[2] === 'recovery';
            if (b <= a || (!special && i % 2 === 0)) return;
            canvas.fillStyle = colour('b-' + (special ? s[2] : 'step'));
            canvas.fillRect(a, area.y, b - a, area.h);
          });
          (data.events || []).forEach(function (e) {
            var a = Math.max(area.x, g.toDomXCoord(e[0])), b = Math.min(area.x + area.w, g.toDomXCoord(e[1]));
            if (b <= a) return;
            canvas.fillStyle = colour('bad');
            canvas.fillRect(a, area.y, b - a, 4);
            canvas.fillRect(a, area.y, 1, area.h);
          });
        },
        highlightCallback: function (event, x, points, row) {
          graphs.forEach(function (g) {
            g.show(row);
            if (g.graph !== graph) g.graph.setSelection(row);
          });
          var s = stageAt(x);
          var now = (data.events || []).filter(function (e) { return x >= e[0] && x < e[1]; });
          where.textContent = clock(x) + (s ? '  ·  ' + s[3] : '') + now.map(function (e) { return '  ·  ' + e[2]; }).join('');
        },
        unhighlightCallback: function () {
          graphs.forEach(function (g) {
            g.show(null);
            if (g.graph !== graph) g.graph.clearSelection();
          });
          where.textContent = '';
        },
        drawCallback: function (g, initial) {
          if (initial || busy) return;
          busy = true;
          var range = g.xAxisRange();
          graphs.forEach(function (other) {
            if (other.graph !== g) other.graph.updateOptions({ dateWindow: range });
          });
          busy = false;
        }
      });
      graphs.push({ graph: graph, show: show, chart: chart });
    });
    blocks.push(graphs);
  };

  var boxes = document.querySelectorAll('.timeline');
  for (var i = 0; i < boxes.length; ++i) {
    try {
      build(boxes[i]);
    } catch (error) {
      element(boxes[i], 'p').textContent = 'The interactive timeline could not be drawn here; its numbers are in the table below.';
      console.error(error);
    }
  }
  var repaint = function () {
    blocks.forEach(function (graphs) {
      graphs.forEach(function (g) {
        g.graph.updateOptions({
          colors: g.chart.series.map(function (s) { return colour(s.tone); }), gridLineColor: colour('grid'), axisLineColor: colour('muted')
        });
      });
    });
  };
  var dark = window.matchMedia('(prefers-color-scheme: dark)');
  if (dark.addEventListener) dark.addEventListener('change', repaint);
  // Paper shows every table.
  var closed = [];
  window.addEventListener('beforeprint', function () {
    closed = Array.prototype.slice.call(document.querySelectorAll('details:not([open])'));
    closed.forEach(function (d) { d.open = true; });
    repaint();
  });
  window.addEventListener('afterprint', function () {
    closed.forEach(function (d) { d.open = false; });
    repaint();
  });
})();
