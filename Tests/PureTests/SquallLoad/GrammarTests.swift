import SquallLoad
import SquallReport
import Testing

struct QuantityTests {
  @Test(
    arguments: [
      ("10s", 10_000_000_000), ("1m30s", 90_000_000_000), ("250ms", 250_000_000), ("50us", 50_000),
      ("50µs", 50_000), ("7ns", 7), ("1.5h", 5_400_000_000_000), ("2d", 172_800_000_000_000),
      ("1h1m1s1ms1us1ns", 3_661_001_001_001), ("0", 0), ("30", 30_000_000_000),
      (" 5s ", 5_000_000_000),
      ("1_000ms", 1_000_000_000),
    ] as [(String, UInt64)])
  func durations(text: String, ns: UInt64) throws {
    #expect(try Quantity.durationNs(text) == ns)
  }

  @Test(arguments: [
    ("", 1), ("s", 1), ("10x", 3), ("10s5", 5), ("5s1m", 4), ("1s1s", 4), ("-1s", 1), ("1..5s", 1),
    ("10s!", 4), ("999999d", 1), ("1e9s", 2), ("{\"a\":1}", 1),
  ])
  func whatIsNoDurationNamesItsColumn(text: String, column: Int) {
    let misspelt = #expect(throws: Misspelt.self) { try Quantity.durationNs(text) }
    #expect(misspelt?.column == column)
  }

  @Test func aBareNumberMayBeRefused() {
    let misspelt = #expect(throws: Misspelt.self) {
      try Quantity.durationNs("30", allowsBareSeconds: false)
    }
    #expect(misspelt?.description == "'30', column 3: expected a unit: ns, us, ms, s, m, h or d")
    #expect(throws: Never.self) { try Quantity.durationNs("0", allowsBareSeconds: false) }
  }

  @Test(
    arguments: [
      ("500", 500), ("10k", 10_000), ("2.5m", 2_500_000), ("1G", 1e9), ("0.5", 0.5),
      ("1_000", 1000),
    ] as [(String, Double)])
  func numbers(text: String, number: Double) throws {
    #expect(try Quantity.number(text) == number)
  }

  @Test func aCountIsWhole() throws {
    #expect(try Quantity.count("2.5k") == 2500)
    #expect(throws: Misspelt.self) { try Quantity.count("2.5") }
    #expect(throws: Misspelt.self) { try Quantity.count("99999999999g") }
    #expect(throws: Misspelt.self) { try Quantity.number("5q") }
  }
}

struct ObjectiveTests {
  @Test(
    arguments: [
      ("p99<20ms", .quantile(0.99, .response), .below, 20_000_000),
      ("p99.9(service) <= 5ms", .quantile(0.999, .service), .atMost, 5_000_000),
      ("p97 ( response ) < 1m30s", .quantile(0.97, .response), .below, 90e9),
      ("p100<1s", .quantile(1, .response), .below, 1e9),
      ("mean(connect)<1ms", .mean(.connect), .below, 1e6),
      ("max(schedule_lag)<=100us", .max(.scheduleLag), .atMost, 1e5),
      ("errors<0.1%", .errors, .below, 0.001), ("errors<=0", .errors, .atMost, 0),
      ("rate>=50k", .rate, .atLeast, 50_000), ("rate > 2.5m/s", .rate, .above, 2_500_000),
    ] as [(String, Objective.Metric, Objective.Comparison, Double)])
  func objectives(
    text: String, metric: Objective.Metric, comparison: Objective.Comparison, limit: Double
  ) throws {
    let objective = try #require(try Objective.list(text).first)
    #expect(objective.metric == metric)
    #expect(objective.comparison == comparison)
    #expect(abs(objective.limit - limit) <= limit * 1e-12)
    #expect(objective.expression == text)
  }

  @Test func aListHasSeveral() throws {
    let list = try Objective.list("p99<20ms, errors<0.1% ,rate>=50k")
    #expect(list.map(\.expression) == ["p99<20ms", "errors<0.1%", "rate>=50k"])
  }

  @Test(arguments: [
    ("", 1, "metric"), ("p<20ms", 2, "percentile"), ("p99", 4, "expected <"),
    ("p99<", 5, "duration"), ("p99<20", 7, "unit"), ("p99<20xs", 7, "unknown unit 'xs'"),
    ("p99=20ms", 4, "expected <"), ("p101<1s", 2, "at most 100"), ("p0<1s", 2, "above 0"),
    ("p99(servce)<1s", 5, "unknown series 'servce'"), ("p99(service<1s", 12, "expected ')'"),
    ("p97(connect)<1s", 2, "are kept"), ("errors<5", 8, "%"), ("latency<5ms", 1, "metric"),
    ("p99<20ms,", 10, "metric"), ("p99<20ms;errors<1%", 9, "nothing"), ("rate>fast", 6, "number"),
    ("errors(service)<1%", 7, "expected <"),
  ])
  func aBadOneNamesTheColumn(text: String, column: Int, word: String) {
    let misspelt = #expect(throws: Misspelt.self) { try Objective.list(text) }
    #expect(misspelt?.column == column)
    #expect(misspelt?.reason.contains(word) == true, "\(misspelt?.reason ?? "")")
  }
}

struct FiguresTests {
  @Test(
    arguments: [
      (0, "0ns"), (999, "999ns"), (1000, "1.00us"), (276_123, "276us"), (999_499, "999us"),
      (999_500, "1.00ms"), (1_400_000, "1.40ms"), (12_345_678, "12.3ms"), (999_499_999, "999ms"),
      (999_500_000, "1.00s"), (2_500_000_000, "2.50s"), (68_700_000_000, "68.7s"),
      (750_000_000_000, "12m30s"), (3_600_000_000_000, "1h00m"), (360_000_000_000_000, "100h00m"),
    ] as [(UInt64, String)])
  func durations(ns: UInt64, text: String) {
    #expect(Figures.duration(ns) == text)
    #expect(text.count <= 7)
  }

  @Test(
    arguments: [
      (30_000_000_000, "30s"), (90_000_000_000, "1m30s"), (250_000_000, "250ms"), (50_000, "50us"),
      (1, "1ns"), (5_400_000_000_000, "1h30m"), (1_500_000_000, "1500ms"),
    ] as [(UInt64, String)])
  func plainDurationsAreReadBackExactly(ns: UInt64, text: String) throws {
    #expect(Figures.plainDuration(ns) == text)
    #expect(try Quantity.durationNs(text) == ns)
  }

  @Test func numbersAreGroupedRoundedAndShort() {
    #expect(Figures.grouped(27_374_430) == "27,374,430")
    #expect(Figures.grouped(-1234) == "-1,234")
    #expect(Figures.grouped(UInt64.max) == "18,446,744,073,709,551,615")
    #expect(Figures.fixed(1.005, 2) == "1.00")
    #expect(Figures.fixed(-0.004, 2) == "0.00")
    #expect(Figures.fixed(99.999, 2) == "100.00")
    #expect(Figures.rate(912_480.6) == "912,481")
    #expect(Figures.rate(49.98) == "50.0")
    #expect(Figures.rate(.nan) == "-")
    #expect(Figures.short(898_123) == "898k")
    #expect(Figures.short(999_600) == "1.00M")
    #expect(Figures.percent(0.995) == "99.5%")
    #expect(Figures.percent(1) == "100%")
    #expect(Figures.percent(0.000_31) == "0.031%")
    #expect(Figures.bytes(1_299_227_607) == "1.21 GiB")
  }
}
