------------------------------- MODULE paxos -------------------------------
(* Multi-Paxos after Lamport, "Paxos Made Simple" (2001): one instance per *)
(* slot, one promise for all slots. Package spec says the same in Go and   *)
(* is what the tests run; this text is for readers.                        *)
EXTENDS Integers

CONSTANTS Acceptor, Value, Slot, Ballot, Quorum1, Quorum2
ASSUME /\ Ballot \subseteq Nat \ {0}
       /\ Quorum1 \subseteq SUBSET Acceptor /\ Quorum2 \subseteq SUBSET Acceptor
       /\ \A p \in Quorum1, q \in Quorum2 : p \cap q # {}

VARIABLES promised,  \* acceptor -> the highest ballot promised or voted at
          votes,     \* the votes cast: <<acceptor, ballot, slot, value>>
          begun,     \* the ballots begun                               (1a)
          proposals  \* the proposals made: <<ballot, slot, value>>     (2a)
vars == <<promised, votes, begun, proposals>>

Init == /\ promised = [a \in Acceptor |-> 0]
        /\ votes = {} /\ begun = {} /\ proposals = {}

VotedAt(a, b, s)     == \E v \in Value : <<a, b, s, v>> \in votes
ChosenAt(b, s, v)    == \E q \in Quorum2 : \A a \in q : <<a, b, s, v>> \in votes
Chosen(s, v)         == \E b \in Ballot : ChosenAt(b, s, v)

(* P2c: a quorum has promised b; above some ballot c at which v was voted  *)
(* for, or ever, none of it has voted below b.                             *)
Safe(b, s, v) ==
  \/ Chosen(s, v)
  \/ \E q \in Quorum1 :
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
                    /\ \A w \in Value : <<b, s, w>> \in proposals => w = v
                    /\ Safe(b, s, v)
                    /\ proposals' = proposals \cup {<<b, s, v>>}
                    /\ UNCHANGED <<promised, votes, begun>>

Vote(a, b, s, v) == /\ <<b, s, v>> \in proposals
                    /\ b >= promised[a]                          \* P1a
                    /\ promised' = [promised EXCEPT ![a] = b]
                    /\ votes' = votes \cup {<<a, b, s, v>>}
                    /\ UNCHANGED <<begun, proposals>>

Next == \E b \in Ballot :
          \/ Prepare(b)
          \/ \E a \in Acceptor : Promise(a, b)
          \/ \E s \in Slot, v \in Value :
               \/ Propose(b, s, v)
               \/ \E a \in Acceptor : Vote(a, b, s, v)

Spec == Init /\ [][Next]_vars

P2  == \A s \in Slot, v, w \in Value : Chosen(s, v) /\ Chosen(s, w) => v = w
P2a == \A s \in Slot, v, w \in Value, b, c \in Ballot, a \in Acceptor :
         ChosenAt(b, s, v) /\ c > b /\ <<a, c, s, w>> \in votes => v = w
P2b == \A s \in Slot, v, w \in Value, b, c \in Ballot :
         ChosenAt(b, s, v) /\ c > b /\ <<c, s, w>> \in proposals => v = w

THEOREM Spec => [](P2 /\ P2a /\ P2b)
=============================================================================
