/// The agent's first words on a connection, repeated until answered.
///
/// ```
/// protocolVersion u16 · build text · agent u64 · host text · process varint · cpus list(varint)
/// nonce bytes(16) · run u64 · planHash bytes(0 | 32)
/// ```
/// The first two fields keep their place in every version, so that a refusal can name both versions.
package struct Hello: Equatable, Sendable {
  /// Raised when nodes of the two versions would misunderstand each other.
  package static let protocolVersion: UInt16 = 7
  package static let nonceByteCount = 16
  package static let textByteCountMax = 255
  package static let cpuCountMax = 1_024

  package var protocolVersion = Hello.protocolVersion
  /// For people: name and commit of the tool.
  package var build: String
  /// The agent's own random 64-bit name, kept for as long as it lives.
  package var agent: UInt64
  package var host: String
  /// The agent's process id, for people who have several on one host; 0 when it does not say.
  package var process: UInt32
  /// The CPU of each worker; the index is the worker's place on its agent.
  package var cpus: [UInt16]
  package var nonce: [UInt8]
  /// The run the agent takes part in already; 0 for none.
  package var run: UInt64
  /// SHA-256 of the plan it has; empty for none.
  package var planHash: [UInt8]

  package init(
    build: String, agent: UInt64, host: String, process: UInt32 = 0, cpus: [UInt16],
    nonce: [UInt8], run: UInt64 = 0, planHash: [UInt8] = []
  ) {
    self.build = build
    self.agent = agent
    self.host = host
    self.process = process
    self.cpus = cpus
    self.nonce = nonce
    self.run = run
    self.planHash = planHash
  }
}

/// The master's question to an agent when a token is set, with the answer to the agent's own.
///
/// `nonce bytes(16) · proof bytes(32)`
package struct Challenge: Equatable, Sendable {
  package var nonce: [UInt8]
  /// MAC under the token of `Authentication.masterText`.
  package var proof: [UInt8]

  package init(nonce: [UInt8], proof: [UInt8]) {
    self.nonce = nonce
    self.proof = proof
  }
}

/// The agent's answer: MAC under the token of `Authentication.agentText`.
///
/// `proof bytes(32)`
package struct Proof: Equatable, Sendable {
  package var proof: [UInt8]

  package init(proof: [UInt8]) { self.proof = proof }
}

/// Why the master will not have this agent. The connection closes after it.
///
/// `protocolVersion u16 · build text · reason u8`: these never move, in any version.
package struct Refusal: Error, Equatable, Sendable {
  package enum Reason: UInt8, Sendable {
    /// Protocol versions differ.
    case version = 0
    /// The token is wrong, or only one side has one.
    case token
    /// The agent takes part in another run, whose record this master does not have.
    case otherRun
    /// Same run, other plan: one of the two is damaged.
    case otherPlan
    /// The run has ended, or is ending.
    case runOver
    /// No room for another agent.
    case full
  }

  package var protocolVersion = Hello.protocolVersion
  package var build: String
  package var reason: Reason

  package init(build: String, reason: Reason) {
    self.build = build
    self.reason = reason
  }
}

/// The master takes the agent in.
///
/// ```
/// session u64 · heartbeatIntervalNs varint · liveness u8
/// ```
package struct Welcome: Equatable, Sendable {
  /// Random, names this connection in datagrams.
  package var session: UInt64
  package var heartbeatIntervalNs: UInt64
  /// Heartbeats in a row that may be missed.
  package var liveness: UInt8

  package init(session: UInt64, heartbeatIntervalNs: UInt64, liveness: UInt8) {
    self.session = session
    self.heartbeatIntervalNs = heartbeatIntervalNs
    self.liveness = liveness
  }
}

/// Asks for one piece of a run's plan. `run u64 · chunk u32`
package struct PlanRequest: Equatable, Sendable {
  package var run: UInt64
  package var chunk: UInt32

  package init(run: UInt64, chunk: UInt32) {
    self.run = run
    self.chunk = chunk
  }
}

/// One piece of the plan: `PlanChunk.byteCount` bytes of it, the last one less.
///
/// `run u64 · chunk u32 · bytes`
package struct PlanChunk: Equatable, Sendable {
  package static let byteCount = 16_384
  package static let planByteCountMax = 64 << 20

  package var run: UInt64
  package var chunk: UInt32
  package var bytes: [UInt8]

  package init(run: UInt64, chunk: UInt32, bytes: [UInt8]) {
    self.run = run
    self.chunk = chunk
    self.bytes = bytes
  }
}

/// The agent has nothing left to deliver and goes. Repeated until the farewell. No fields.
package struct Goodbye: Equatable, Sendable {
  package init() {}
}

/// The goodbye has arrived. No fields.
package struct Farewell: Equatable, Sendable {
  package init() {}
}
