internal import SquallLoad

/// A result as one HTML page that needs nothing but itself: no script, no font, no request. Colours
/// follow the reader's light or dark setting; paper gets light ones.
///
/// At most `byteCountMax`: time is drawn in at most 120 columns and long tables are cut with a word.
package struct HtmlReport {
  package static let byteCountMax = 500 * 1024
  private static let rowCountMax = 64
  /// Characters of the text report; one takes up to five bytes when it is escaped.
  private static let textLengthMax = 20_000

  private let result: RunResult

  package init(_ result: RunResult) { self.result = result }

  package var text: String {
    let title = "\(result.plan.method) \(result.plan.url)"
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
      style-src 'unsafe-inline'">
      <title>squall: \(Self.short(title))</title>
      <style>
      \(Self.style)</style>
      </head>
      <body>
      <main>
      \(head)\(tiles)\(remarks)\(HtmlPlots(result).all)\(tables)
      <details><summary>The same as text</summary><pre>\
      \(Svg.escaped(String(TextReport(result).text.prefix(Self.textLengthMax))))</pre></details>
      </main>
      </body>
      </html>

      """
  }

  /// Untrusted text of bounded length.
  private static func short(_ text: String, _ count: Int = 300) -> String {
    Svg.escaped(text.count <= count ? text : String(text.prefix(count)) + "…")
  }

  private var head: String {
    let plan = result.plan
    let load = plan.schedule == nil ? "closed loop" : "open loop"
    let words =
      "\(load) · \(Figures.grouped(plan.connections)) connections · \(result.workers.count) \(result.workers.count == 1 ? "worker" : "workers") · "
      + "\(Figures.duration(result.measuredNs)) measured · \(result.startedAt)"
    return """
      <header>
      <p class="kicker">\(Self.short("\(result.tool.name) \(result.tool.version)"))</p>
      <h1>\(Self.short("\(plan.method) \(plan.url)"))</h1>
      <p class="muted">\(Self.short(words))</p>
      \(badges)
      </header>

      """
  }

  private var badges: String {
    var badges: [(String, String)] = []
    if result.interrupted { badges.append(("bad", "interrupted")) }
    if result.verdict.incomplete { badges.append(("bad", "incomplete")) }
    badges.append(
      result.verdict.saturated
        ? ("bad", "generator saturated") : ("good", "generator not saturated"))
    if !result.verdict.valid && !result.verdict.saturated { badges.append(("bad", "not valid")) }
    if result.verdict.conservation.balanced {
      badges.append(("good", "every request accounted for"))
    }
    for outcome in result.slo {
      let word = outcome.pass.map { $0 ? "passes" : "fails" } ?? "not judged"
      badges.append((outcome.pass == true ? "good" : "bad", "\(outcome.expression) \(word)"))
    }
    return "<p class=\"badges\">"
      + badges.map { "<span class=\"badge \($0.0)\">\(Self.short($0.1))</span>" }
      .joined(separator: " ") + "</p>"
  }

  private var tiles: String {
    let latency = result.latency.response
    var tiles = [
      ("Throughput", Figures.rate(result.rate.okPerS), "ok/s"),
      ("p50", Figures.duration(latency.p50), "response"),
      ("p99", Figures.duration(latency.p99), "response"),
      ("p99.9", Figures.duration(latency.p999), "response"),
      ("Failed", Figures.percent(result.errorShare), "of attempts"),
      ("Busiest worker", Figures.percent(result.workers.map(\.busyRatio).max() ?? 0), "of its CPU"),
    ]
    if let target = result.rate.targetPerS, let ratio = result.rate.achievedRatio {
      tiles.insert(("Target", Figures.rate(target), "/s, \(Figures.percent(ratio)) sent"), at: 1)
    }
    return "<section class=\"tiles\">"
      + tiles.map {
        "<div><span class=\"muted\">\($0.0)</span><b>\($0.1)</b><span class=\"muted\">\($0.2)</span>"
          + "</div>"
      }.joined() + "</section>\n"
  }

  private var remarks: String {
    let verdict = result.verdict
    guard !verdict.reasons.isEmpty || !verdict.cautions.isEmpty else { return "" }
    let reasons = verdict.reasons.map { "<li class=\"bad\">\(Self.short($0))</li>" }
    let cautions = verdict.cautions.map { "<li>\(Self.short($0))</li>" }
    return "<ul class=\"remarks\">" + (reasons + cautions).prefix(Self.rowCountMax).joined()
      + "</ul>\n"
  }

  private func table(_ title: String, _ header: [String], _ rows: [[String]]) -> String {
    guard !rows.isEmpty else { return "" }
    var text = "<section><h2>\(title)</h2><div class=\"scroll\"><table><thead><tr>"
    text += header.map { "<th>\($0)</th>" }.joined() + "</tr></thead><tbody>"
    for row in rows.prefix(Self.rowCountMax) {
      text += "<tr>" + row.map { "<td>\(Self.short($0))</td>" }.joined() + "</tr>"
    }
    text += "</tbody></table></div>"
    if rows.count > Self.rowCountMax {
      text += "<p class=\"muted\">\(rows.count - Self.rowCountMax) more are in the JSON.</p>"
    }
    return text + "</section>\n"
  }

  private var tables: String {
    latencies + counts + failures + workers + endpoints + plan
  }

  private var latencies: String {
    let rows = Objective.Series.allCases.compactMap { series -> [String]? in
      let summary = result.latency[series]
      guard summary.count > 0 else { return nil }
      let values = [
        summary.mean, summary.stdev, summary.min, summary.p50, summary.p75, summary.p90,
        summary.p95,
        summary.p99, summary.p999, summary.p9999, summary.max,
      ]
      let name = series.rawValue.split(separator: "_").joined(separator: " ")
      return [name, Figures.grouped(summary.count)] + values.map(Figures.duration)
    }
    return table(
      "Latency",
      [
        "", "count", "mean", "stdev", "min", "p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99",
        "max",
      ], rows)
  }

  private var counts: String {
    let requests = result.requests
    return table(
      "Requests",
      [
        "sent", "from warm-up", "ok", "not ok", "in flight at stop", "dropped", "bytes in",
        "bytes out",
      ],
      [
        [
          Figures.grouped(requests.sent), Figures.grouped(requests.carriedIn),
          Figures.grouped(requests.ok), Figures.grouped(requests.notOk),
          Figures.grouped(requests.inFlightAtStop), Figures.grouped(requests.dropped),
          Figures.bytes(Double(result.bytes.received)), Figures.bytes(Double(result.bytes.sent)),
        ]
      ])
  }

  private var failures: String {
    let causes = ErrorCause.allCases.filter { result.errors[$0] > 0 }
      .map { ["error", $0.name, Figures.grouped(result.errors[$0])] }
    let status = result.status.sorted { $0.key < $1.key }
      .map { ["status", $0.key, Figures.grouped($0.value)] }
    return table("Outcomes", ["", "", "count"], status + causes)
  }

  private var workers: String {
    table(
      "Workers",
      ["worker", "host", "cpu", "busy", "sent", "ok", "not ok", "in flight", "lag p99", "lives"],
      result.workers.enumerated().map { number, worker in
        [
          String(number), worker.host, worker.cpu.map(String.init) ?? "not pinned",
          Figures.percent(worker.busyRatio), Figures.grouped(worker.sent),
          Figures.grouped(worker.ok), Figures.grouped(worker.notOk),
          Figures.grouped(worker.inFlightAtStop), Figures.duration(worker.scheduleLagP99Ns),
          worker.lost ? "lost" : String(worker.incarnations.count),
        ]
      })
  }

  private var endpoints: String {
    guard result.endpoints.count > 1 else { return "" }
    return table(
      "Endpoints", ["name", "sent", "ok", "not ok", "mean", "p50", "p90", "p99", "max"],
      result.endpoints.map { endpoint in
        let latency = endpoint.response
        return [
          endpoint.name, Figures.grouped(endpoint.sent), Figures.grouped(endpoint.ok),
          Figures.grouped(endpoint.notOk), Figures.duration(latency.mean),
          Figures.duration(latency.p50), Figures.duration(latency.p90),
          Figures.duration(latency.p99), Figures.duration(latency.max),
        ]
      })
  }

  private var plan: String {
    let plan = result.plan
    var rows = [
      ["command", result.argv.joined(separator: " ")],
      ["target", plan.destinations.joined(separator: ", ")],
      ["timeout", Figures.plainDuration(plan.timeoutNs)],
      ["pipeline", String(plan.pipeline)],
      [
        "warm-up, drain",
        "\(Figures.plainDuration(plan.warmupNs)), \(Figures.plainDuration(plan.drainNs))",
      ],
    ]
    if let schedule = plan.schedule {
      let stages = schedule.stages.map {
        "\(Figures.plainDuration($0.durationNs)) to \(Figures.short($0.endPerS))/s"
      }
      let steps = [Figures.short(schedule.startPerS) + "/s"] + stages
      rows.append(["rate", steps.joined(separator: ", ") + ", \(schedule.arrival) arrival"])
    }
    rows.append([
      "host", "\(result.host.cpuModel), \(result.host.cpus) CPUs, kernel \(result.host.kernel)",
    ])
    for (key, value) in plan.labels.sorted(by: { $0.key < $1.key }) { rows.append([key, value]) }
    return table("Plan", ["", ""], rows)
  }

  private static let style = """
    :root{--paper:#fff;--ink:#1b1e23;--muted:#5c6570;--grid:#e3e6ea;--card:#f5f6f8;--heat:#1d4ed8;
    --good:#0f7b4f;--bad:#b3261e;--s1:#1d4ed8;--s2:#b45309;--s3:#0f7b4f;--s4:#b3261e;--s5:#6d28d9;
    --s6:#0e7490;--s7:#9d174d;--s8:#4d7c0f}
    @media (prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e7eaee;--muted:#9aa4af;
    --grid:#2b3037;--card:#1d2126;--heat:#7aa7ff;--good:#4cc38a;--bad:#ff8a80;--s1:#7aa7ff;
    --s2:#f2b24b;--s3:#4cc38a;--s4:#ff8a80;--s5:#b79cff;--s6:#56c4dc;--s7:#f48fb9;--s8:#b4d15c}}
    @media print{:root{--paper:#fff;--ink:#000;--muted:#444;--grid:#ddd;--card:#fff;--heat:#1d4ed8;
    --good:#0f7b4f;--bad:#b3261e;--s1:#1d4ed8;--s2:#b45309;--s3:#0f7b4f;--s4:#b3261e;--s5:#6d28d9;
    --s6:#0e7490;--s7:#9d174d;--s8:#4d7c0f}figure,section{break-inside:avoid}details{display:none}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
    main{max-width:960px;margin:0 auto;padding:28px 20px 48px}
    h1{font-size:22px;line-height:1.3;margin:0;overflow-wrap:anywhere}
    h2{font-size:15px;margin:28px 0 6px}
    p{margin:4px 0}
    .kicker{font-weight:600;color:var(--muted)}
    .muted{color:var(--muted)}
    .badges{margin:12px 0 0;display:flex;flex-wrap:wrap;gap:6px}
    .badge{border:1px solid currentColor;border-radius:99px;padding:1px 10px;font-size:13px;
    overflow-wrap:anywhere}
    .good{color:var(--good)}
    .bad{color:var(--bad)}
    .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(114px,1fr));gap:10px;
    margin:20px 0}
    .tiles div{background:var(--card);border:1px solid var(--grid);border-radius:8px;
    padding:10px 12px;display:flex;flex-direction:column;font-size:13px}
    .tiles b{font-size:20px;font-variant-numeric:tabular-nums}
    .remarks{padding-left:20px;margin:12px 0}
    figure{margin:26px 0 0}
    figcaption{font-weight:600;margin-bottom:4px}
    svg{display:block;width:100%;height:auto}
    .tick,.name{font:12px system-ui,sans-serif;fill:var(--muted)}
    .name{fill:var(--ink)}
    .grid{stroke:var(--grid)}
    .axis{stroke:var(--muted)}
    .line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
    .thin{stroke-width:1}
    .thick{stroke-width:8;stroke-linecap:butt}
    .dashed{stroke-dasharray:5 4}
    path.muted{stroke:var(--muted)}
    .s1{stroke:var(--s1)}.s2{stroke:var(--s2)}.s3{stroke:var(--s3)}.s4{stroke:var(--s4)}
    .s5{stroke:var(--s5)}.s6{stroke:var(--s6)}.s7{stroke:var(--s7)}.s8{stroke:var(--s8)}
    .f1{fill:var(--s1)}.f2{fill:var(--s2)}.f3{fill:var(--s3)}.f4{fill:var(--s4)}
    .f5{fill:var(--s5)}.f6{fill:var(--s6)}.f7{fill:var(--s7)}.f8{fill:var(--s8)}
    .heat{fill:var(--heat);shape-rendering:crispEdges}
    .shade{fill:var(--grid);fill-opacity:.5}
    .hover{fill:transparent}
    .hover:hover{fill:var(--muted);fill-opacity:.15}
    .scroll{overflow-x:auto}
    table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
    th,td{text-align:right;padding:4px 8px;border-bottom:1px solid var(--grid);
    overflow-wrap:anywhere}
    th{color:var(--muted);font-weight:500}
    th:first-child,td:first-child{text-align:left;padding-left:0}
    td:first-child{min-width:7em}
    td:only-child,td:first-child+td:last-child{text-align:left}
    pre{overflow-x:auto;font-size:12px;background:var(--card);padding:12px;border-radius:8px}
    summary{margin-top:28px;cursor:pointer}

    """
}
