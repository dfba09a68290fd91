import SquallScenario
import Testing

/// How many users there are over time.
struct UserLoadTests {
  private static func load(_ stages: [(UInt64, UInt64)]) throws -> Program.UserLoad {
    let words = stages.map { "{to: \($0.1), over: \($0.0)us}" }.joined(separator: ", ")
    var load = try Sample.program(
      """
      {squall: 1, target: http://x, users: {a: {do: [{get: /}]}},
       load: {users: {stages: [\(words)]}}}
      """
    ).load
    // Instants of the tests are small numbers.
    for index in load.stages.indices { load.stages[index].durationNs /= 1_000 }
    return load
  }

  /// Whoever looks again when told sees every number between, each for its time.
  @Test func everyNumberComesInItsTime() throws {
    let load = try Self.load([(10, 5), (20, 5), (9, 2), (0, 4), (8, 0)])
    var seen: [(UInt64, UInt64)] = []
    var nowNs: UInt64 = 0
    while nowNs != .max {
      let (count, untilNs) = load.userCount(atNs: nowNs)
      #expect(untilNs > nowNs)
      seen.append((nowNs, count))
      nowNs = untilNs
    }
    let expected: [(UInt64, UInt64)] = [
      (0, 1), (2, 2), (4, 3), (6, 4), (8, 5), (10, 5), (30, 4), (33, 3), (36, 2), (39, 3), (41, 2),
      (43, 1), (45, 0), (47, 0),
    ]
    #expect(seen.map(\.0) == expected.map(\.0))
    #expect(seen.map(\.1) == expected.map(\.1))
  }

  @Test func oneRiseIsTold() throws {
    #expect(try Self.load([(5, 3), (5, 3)]).isOneRise)
    #expect(try !Self.load([(5, 3), (5, 2)]).isOneRise)
  }

  /// A change cuts what the stages had still to do, and leaves what was.
  @Test func aChangeGoesFromWhereTheUsersAre() throws {
    let second: UInt64 = 1_000_000_000
    let load = try Self.load([(10 * second, 100)])
    let changed = load.changed(atNs: 5 * second, to: 10, perS: 10, standing: 1)
    let count = load.userCount(atNs: 5 * second).count
    #expect(changed.userCount(atNs: 5 * second).count < count)
    #expect(changed.userCount(atNs: 7 * second).count < count - 15)
    #expect(changed.userCount(atNs: 60 * second).count == 10)
    let standing = try Self.load([(0, 4)])
    let atOnce = standing.changed(atNs: 3 * second, to: 7, perS: nil, standing: 1)
    #expect(atOnce.userCount(atNs: 3 * second - 1).count == 4)
    #expect(atOnce.userCount(atNs: 3 * second).count == 7)
  }
}
