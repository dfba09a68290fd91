internal import NIOConcurrencyHelpers

/// What a fleet tells the person at its terminal: one block that shows all hosts while they are
/// prepared, or lines where there is no terminal. Its lines begin with `fleet: `.
package final class FleetVoice: Sendable {
  private struct State {
    var told: [FleetHost: HostSession.State] = [:]
    /// What the block shows.
    var picture: HostFleet.Picture?
  }

  package let line: LiveLine?
  private let isQuiet: Bool
  private let tellsEndings: Bool
  private let state = NIOLockedValueBox(State())

  /// Without endings where a table of them follows.
  package init(isQuiet: Bool = false, showsProgress: Bool = true, tellsEndings: Bool = true) {
    line = showsProgress ? LiveLine() : nil
    self.isQuiet = isQuiet
    self.tellsEndings = tellsEndings
  }

  /// Says a sentence above the block.
  package func say(_ sentence: String) {
    line?.clear()
    Console.say(sentence)
    show()
  }

  package func told(_ host: FleetHost, _ sentence: String) {
    if !isQuiet { say("fleet: \(host.name): \(sentence)") }
  }

  /// Shows each change until the last of the hosts has ended.
  package func follow(_ fleet: HostFleet) async {
    for await picture in fleet.pictures {
      let changes = state.withLockedValue { state in
        state.picture = picture.pendingCount > 0 ? picture : nil
        let changes = picture.hosts.filter { state.told[$0.host] != $0.state }
        for change in changes { state.told[change.host] = change.state }
        return changes
      }
      line?.clear()
      for (host, state, words) in changes {
        switch state {
        case .failed, .lost: if tellsEndings { say("fleet: \(host.name) \(words)") }
        case .ready, .bringing: if line == nil { told(host, words) }
        case .waiting, .connecting, .starting, .left: break
        }
      }
      show()
    }
    line?.clear()
  }

  private func show() {
    guard let picture = state.withLockedValue({ $0.picture }) else { return }
    line?.show { picture.lines(width: $0, height: $1) }
  }
}
