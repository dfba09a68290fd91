import SquallCluster
import SquallLoad
import Testing

/// Who is let in, and what the others may cost.
@Suite struct MasterAdmissionTests {
  private func refusal(
    _ hello: Hello, token: UInt64? = nil,
    _ adjust: (inout MasterMachine.Settings) -> Void = { _ in }
  ) -> (Refusal?, MasterScript) {
    let master = MasterScript(token: token, adjust)
    master.tell(.connected(peer: 1))
    master.tell(.hello(hello), from: 1)
    return (master.refusal(to: 1), master)
  }

  private let hello = ScriptedAgent(1, workers: 2).hello

  @Test func anotherVersionIsRefusedWithOursNamed() {
    var other = hello
    other.protocolVersion = Hello.protocolVersion + 1
    let (refusal, master) = refusal(other)
    #expect(refusal?.reason == .version)
    #expect(refusal?.protocolVersion == Hello.protocolVersion)
    #expect(refusal?.build == "test master")
    #expect(master.closed == [1])
    #expect(master.joined.isEmpty)
  }

  @Test func anotherRunOrAnotherPlanIsRefused() {
    var otherRun = hello
    otherRun.run = 8
    #expect(refusal(otherRun).0?.reason == .otherRun)
    var otherPlan = hello
    otherPlan.run = testRun
    otherPlan.planHash = Array(repeating: 1, count: 32)
    #expect(refusal(otherPlan).0?.reason == .otherPlan)
  }

  @Test func theSameRunAndPlanAreWelcomeAgain() {
    var same = hello
    same.run = 7
    same.planHash = testHash(testPlan().bytes)
    let (refusal, master) = refusal(same)
    #expect(refusal == nil)
    #expect(master.joined == [1])
  }

  @Test func aHelloThatIsRepeatedIsWelcomedAgainAndCountsOnce() {
    let master = MasterScript()
    master.tell(.connected(peer: 1))
    for _ in 0..<3 { master.tell(.hello(hello), from: 1) }
    let welcomes = master.messages(to: 1).filter { $0.kind == .welcome }
    #expect(welcomes.count == 3)
    #expect(welcomes.allSatisfy { $0 == welcomes[0] })
    #expect(master.joined == [1])
  }

  @Test func whoDoesNotKnowTheTokenLearnsNothingAndIsRefused() {
    let (early, _) = refusal(hello, token: 5)
    #expect(early == nil)
    let master = refusal(hello, token: 5).1
    #expect(master.messages(to: 1).map(\.kind) == [.challenge])
    master.tell(.report(Report(number: 1, sentNs: 1)), from: 1)
    #expect(master.messages(to: 1).count == 1, "a stranger's report is not answered")
    master.tell(.proof(Proof(proof: Array(repeating: 0, count: 32))), from: 1)
    #expect(master.refusal(to: 1)?.reason == .token)
    #expect(master.closed == [1])
    #expect(master.joined.isEmpty)
  }

  @Test func theMastersOwnProofDoesNotServeAsTheAgents() {
    let master = refusal(hello, token: 5).1
    guard case .challenge(let challenge)? = master.messages(to: 1).first else {
      Issue.record("no challenge")
      return
    }
    master.tell(.proof(Proof(proof: challenge.proof)), from: 1)
    #expect(master.refusal(to: 1)?.reason == .token)
  }

  @Test func theRightAnswerToTheChallengeIsWelcome() {
    let master = refusal(hello, token: 5).1
    guard case .challenge(let challenge)? = master.messages(to: 1).first else {
      Issue.record("no challenge")
      return
    }
    let masterText = Authentication.masterText(
      agentNonce: hello.nonce, masterNonce: challenge.nonce)
    #expect(challenge.proof == testHash(masterText, salt: 5))
    let text = Authentication.agentText(agentNonce: hello.nonce, masterNonce: challenge.nonce)
    master.tell(.proof(Proof(proof: testHash(text, salt: 5))), from: 1)
    #expect(master.messages(to: 1).last?.kind == .welcome)
    #expect(master.joined == [1])
  }

  @Test func whoSaysNothingIsDisconnectedInTime() {
    let master = MasterScript()
    master.tell(.connected(peer: 9))
    master.advance(byNs: 4_900 * millisecond)
    #expect(master.closed.isEmpty)
    master.advance(byNs: 200 * millisecond)
    #expect(master.closed == [9])
  }

  @Test func oneStrangerTooManyCostsTheOldestItsConnection() {
    let master = MasterScript { $0.strangersMax = 3 }
    for peer in UInt64(1)...5 { master.tell(.connected(peer: peer)) }
    #expect(master.closed == [1, 2])
  }

  @Test func oneAgentTooManyIsToldSo() {
    let master = MasterScript { $0.agentsMax = 1 }
    master.join(ScriptedAgent(1, workers: 1))
    master.join(ScriptedAgent(2, workers: 1))
    #expect(master.refusal(to: 2)?.reason == .full)
  }

  @Test func aRunThatEndsTakesNobodyNew() {
    let master = MasterScript()
    master.start([ScriptedAgent(1, workers: 1)])
    master.tell(.stop)
    master.join(ScriptedAgent(2, workers: 1))
    #expect(master.refusal(to: 2)?.reason == .runOver)
  }

  @Test func anAgentThatComesBackTakesItsOldConnectionsPlace() {
    let master = MasterScript()
    master.join(ScriptedAgent(1, workers: 1))
    master.tell(.connected(peer: 2))
    master.tell(.hello(hello1), from: 2)
    #expect(master.closed == [1])
    #expect(master.joined == [1, 2])
  }

  private var hello1: Hello { ScriptedAgent(1, workers: 1).hello }

  /// A late or misplaced message of any kind is passed over, whoever sends it.
  @Test func messagesOutOfPlaceChangeNothing() {
    let master = MasterScript(token: 3)
    master.tell(.connected(peer: 1))
    let batch = testBatch(agent: 1, life: 5, sequence: 0)
    let misplaced: [Message] =
      [
        .proof(Proof(proof: Array(repeating: 0, count: 32))),
        .planRequest(PlanRequest(run: testRun, chunk: 0)),
        .report(Report(number: 1, sentNs: 1)),
        .ledger(testLedger(agent: 1, life: 5, of: [batch]), run: testRun),
        .goodbye(Goodbye()), .farewell(Farewell()),
        .refusal(Refusal(build: "x", reason: .full)),
      ] + parts(of: batch).map { .batchPart($0) }
    for message in misplaced { master.tell(message, from: 1) }
    for message in misplaced { master.tell(message, from: 77) }
    #expect(master.sent.isEmpty)
    #expect(master.recorded.isEmpty)
    #expect(master.closed.isEmpty)
  }
}
