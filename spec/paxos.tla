------------------------------- MODULE paxos -------------------------------
(* Multi-Paxos after Lamport, "Paxos Made Simple" (2001): one instance per *)
(* slot, one promise for all slots. Package spec says the same in Go and   *)
(* is what the tests run; this text is for readers.                        *)
(*                                                                         *)
(* Who governs a slot is decided Window slots before it, by what is chosen *)
(* up to there (section 3). A value v asks for the configuration Next(v)   *)
(* instead of that of the epoch Replaces(v), or replaces none: -1.         *)
EXTENDS Integers

CONSTANTS Acceptor, Value, Slot, Ballot, Config, Founders, Window,
          Quorum1(_), Quorum2(_), Next(_), Replaces(_)
ASSUME /\ Ballot \subseteq Nat \ {0} /\ Window \in Nat \ {0}
       /\ \E n \in Nat : Slot = 1..n
       /\ Founders \in Config /\ \A v \in Value : Next(v) \in Config
       /\ \A c \in Config :
            /\ Quorum1(c) \subseteq SUBSET Acceptor /\ Quorum2(c) \subseteq SUBSET Acceptor
            /\ \A p \in Quorum1(c), q \in Quorum2(c) : p \cap q # {}

VARIABLES promised,  \* acceptor -> the highest ballot promised or voted at
          votes,     \* the votes cast: <<acceptor, ballot, slot, value>>
          begun,     \* the ballots begun                               (1a)
          proposals  \* the proposals made: <<ballot, slot, value>>     (2a)
vars == <<promised, votes, begun, proposals>>

Init == /\ promised = [a \in Acceptor |-> 0]
        /\ votes = {} /\ begun = {} /\ proposals = {}

VotedAt(a, b, s)     == \E v \in Value : <<a, b, s, v>> \in votes
VotedBy(q, b, s, v)  == \A a \in q : <<a, b, s, v>> \in votes

(* What the values chosen up to a slot have made: the latest configuration, *)
(* its epoch and the first slot that it governs, and the one before it.     *)
(* It is not known where a slot is still open.                              *)
Upto(s)  == IF s > Window THEN s - Window ELSE 0
Of(m, s) == IF m.first <= s THEN m.latest ELSE m.before

After[s \in {0} \cup Slot] ==
  IF s = 0
  THEN [known |-> TRUE, epoch |-> 0, first |-> 1, latest |-> Founders, before |-> Founders]
  ELSE LET was    == After[s - 1]
           chosen == {v \in Value : \E b \in Ballot, q \in Quorum2(Of(After[Upto(s)], s)) : VotedBy(q, b, s, v)}
           v      == CHOOSE w \in chosen : TRUE
       IN  IF ~was.known \/ chosen = {} THEN [was EXCEPT !.known = FALSE]
           ELSE IF Replaces(v) = was.epoch /\ was.first <= s
           THEN [known |-> TRUE, epoch |-> was.epoch + 1, first |-> s + Window, latest |-> Next(v), before |-> was.latest]
           ELSE was

Governs(s) == Of(After[Upto(s)], s)

ChosenAt(b, s, v)    == /\ After[Upto(s)].known
                        /\ \E q \in Quorum2(Governs(s)) : VotedBy(q, b, s, v)
Chosen(s, v)         == \E b \in Ballot : ChosenAt(b, s, v)

(* P2c: a quorum has promised b; above some ballot c at which v was voted  *)
(* for, or ever, none of it has voted below b.                             *)
Safe(b, s, v) ==
  \/ Chosen(s, v)
  \/ \E q \in Quorum1(Governs(s)) :
       /\ \A a \in q : promised[a] >= b
       /\ \E c \in {0} \cup {d \in Ballot : d < b} :
            /\ c # 0 => \E a \in Acceptor : <<a, c, s, v>> \in votes
            /\ \A a \in q, d \in Ballot : c < d /\ d < b => ~VotedAt(a, d, s)

Prepare(b) == /\ begun' = begun \cup {b}
              /\ UNCHANGED <<promised, votes, proposals>>

Promise(a, b) == /\ b \in begun /\ b >= promised[a]
                 /\ promised' = [promised EXCEPT ![a] = b]
                 /\ UNCHANGED <<votes, begun, proposals>>

Propose(b, s, v) == /\ b \in begun
                    /\ After[Upto(s)].known
                    /\ \A w \in Value : <<b, s, w>> \in proposals => w = v
                    /\ Safe(b, s, v)
                    /\ proposals' = proposals \cup {<<b, s, v>>}
                    /\ UNCHANGED <<promised, votes, begun>>

Vote(a, b, s, v) == /\ <<b, s, v>> \in proposals
                    /\ b >= promised[a]                          \* P1a
                    /\ promised' = [promised EXCEPT ![a] = b]
                    /\ votes' = votes \cup {<<a, b, s, v>>}
                    /\ UNCHANGED <<begun, proposals>>

Step == \E b \in Ballot :
          \/ Prepare(b)
          \/ \E a \in Acceptor : Promise(a, b)
          \/ \E s \in Slot, v \in Value :
               \/ Propose(b, s, v)
               \/ \E a \in Acceptor : Vote(a, b, s, v)

Spec == Init /\ [][Step]_vars

P2  == \A s \in Slot, v, w \in Value : Chosen(s, v) /\ Chosen(s, w) => v = w
P2a == \A s \in Slot, v, w \in Value, b, c \in Ballot, a \in Acceptor :
         ChosenAt(b, s, v) /\ c > b /\ <<a, c, s, w>> \in votes => v = w
P2b == \A s \in Slot, v, w \in Value, b, c \in Ballot :
         ChosenAt(b, s, v) /\ c > b /\ <<c, s, w>> \in proposals => v = w

THEOREM Spec => [](P2 /\ P2a /\ P2b)
=============================================================================
